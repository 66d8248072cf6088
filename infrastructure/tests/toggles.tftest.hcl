# What each switch adds and takes away.

mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  environment = "test"
  email       = "you@example.org"
  release     = "0.1.0-abcdef0"
}

run "no_training" {
  command = plan

  variables {
    training = { enabled = false }
  }

  assert {
    condition     = length(module.training) == 0 && output.operations.queues == {}
    error_message = "Without training there are no queues."
  }
}

run "training_sizes" {
  command = plan

  assert {
    condition     = sort(keys(output.operations.queues)) == tolist(["gpu1", "gpu4", "p3"])
    error_message = "A queue for each size: one GPU, four GPUs, and the older machine."
  }
}

run "keys" {
  command = plan

  variables {
    api_keys = ["one", "two"]
  }

  assert {
    condition     = length(nonsensitive(keys(output.api_keys))) == 2
    error_message = "Each name gets a key."
  }
}
