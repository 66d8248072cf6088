"""The TorchServe side: everything that would change if the server were another one."""
