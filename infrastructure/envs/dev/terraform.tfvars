# One small task, nothing that refuses to be destroyed.
environment        = "dev"
email              = "you@example.org"
monthly_budget_usd = 200
task               = { cpu = 1024, memory = 2048 }
tasks              = { min = 1, max = 2 }
protected          = false
log_days           = 7
flow_log_days      = 0
api_keys           = ["loadtest"]
