# A tfvars with a wrong value is refused before anything is planned, with a sentence about it.

mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  environment = "test"
  email       = "you@example.org"
  release     = "0.1.0-abcdef0"
}

run "defaults_are_accepted" {
  command = plan

  assert {
    condition     = module.service.cluster == "draft-test"
    error_message = "The names begin with name and environment."
  }
}

run "public_range" {
  command         = plan
  expect_failures = [var.cidr]

  variables {
    cidr = "8.8.0.0/16"
  }
}

run "small_range" {
  command         = plan
  expect_failures = [var.cidr]

  variables {
    cidr = "10.0.0.0/24"
  }
}

run "one_zone" {
  command         = plan
  expect_failures = [var.zones]

  variables {
    zones = 1
  }
}

run "more_least_than_most_tasks" {
  command         = plan
  expect_failures = [var.tasks]

  variables {
    tasks = { min = 5, max = 2 }
  }
}

run "half_a_task" {
  command         = plan
  expect_failures = [var.tasks]

  variables {
    tasks = { min = 1.5 }
  }
}

run "cpu_of_everything" {
  command         = plan
  expect_failures = [var.tasks]

  variables {
    tasks = { cpu_percent = 100 }
  }
}

run "no_such_fargate_size" {
  command         = plan
  expect_failures = [var.task]

  variables {
    task = { cpu = 2048, memory = 1024 }
  }
}

run "no_such_country" {
  command         = plan
  expect_failures = [var.countries]

  variables {
    countries = ["ZZ"]
  }
}

run "eu_is_no_country" {
  command         = plan
  expect_failures = [var.countries]

  variables {
    countries = ["US", "EU"]
  }
}

run "latest_is_no_release" {
  command         = plan
  expect_failures = [var.release]

  variables {
    release = "latest"
  }
}

run "no_address" {
  command         = plan
  expect_failures = [var.email]

  variables {
    email = ""
  }
}

run "no_budget" {
  command         = plan
  expect_failures = [var.monthly_budget_usd]

  variables {
    monthly_budget_usd = -1
  }
}

run "archive_without_checksum" {
  command         = plan
  expect_failures = [var.model]

  variables {
    model = { path = "s3://models-bucket/draft.mar" }
  }
}

run "odd_retention" {
  command         = plan
  expect_failures = [var.log_days]

  variables {
    log_days = 31
  }
}

run "too_many_attempts" {
  command         = plan
  expect_failures = [var.training]

  variables {
    training = { attempts = 11 }
  }
}

run "odd_region" {
  command         = plan
  expect_failures = [var.region]

  variables {
    region = "moon-1"
  }
}

run "odd_key_name" {
  command         = plan
  expect_failures = [var.api_keys]

  variables {
    api_keys = ["Two Words"]
  }
}
