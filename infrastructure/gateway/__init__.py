"""The front door: nginx before TorchServe, its configuration, its limits, its errors.

settings   the environment, checked
keys       the file of API keys
problems   the errors that the gateway answers itself
render     all of it as a folder that nginx runs from
nginx      finding, checking, starting, reloading and ending nginx
"""
