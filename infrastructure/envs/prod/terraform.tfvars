environment        = "prod"
email              = "you@example.org"
monthly_budget_usd = 400
api_keys           = ["first-client"]
