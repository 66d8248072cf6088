"""What an operator does to a deployed stack, one module behind each Make target.

Every module that changes something prints what it will do first, and with DRY_RUN=1 does no more.
"""
