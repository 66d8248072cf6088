# The web ACL on the stage. Rules are evaluated by priority until one ends it, so the wide rate rule
# comes first: behind the narrow one it would never see enough requests to fire.

locals {
  # The body-size rule of the common set is fixed at 8 kB; a late pick with attributes is 14 kB.
  counted = ["SizeRestrictions_BODY"]

  managed = merge(
    { AWSManagedRulesKnownBadInputsRuleSet = { priority = 40, counted = [] } },
    { AWSManagedRulesCommonRuleSet = { priority = 50, counted = local.counted } },
    var.bot_control ? { AWSManagedRulesBotControlRuleSet = { priority = 60, counted = [] } } : {},
  )

  rates = {
    requests-per-address = {
      priority = 10
      limit    = var.limits.requests_per_ip
      window   = var.limits.requests_window_s
      path     = ""
    }
    picks-per-address = {
      priority = 20
      limit    = var.limits.picks_per_ip
      window   = var.limits.picks_window_s
      path     = "/draft/pick"
    }
  }
}

resource "aws_wafv2_web_acl" "this" {
  name        = var.name
  description = "Rates, sizes and known attacks in front of the draft recommender"
  scope       = "REGIONAL"

  default_action {
    allow {}
  }

  custom_response_body {
    key          = "rate_limited"
    content_type = "APPLICATION_JSON"
    content = jsonencode({
      type   = "urn:draft:problem:rate_limited"
      title  = "Too many requests"
      status = 429
      code   = "rate_limited"
      detail = "Too many requests from this address; Retry-After says when to come back"
      path   = "$"
    })
  }

  custom_response_body {
    key          = "body_too_large"
    content_type = "APPLICATION_JSON"
    content = jsonencode({
      type   = "urn:draft:problem:body_too_large"
      title  = "The body is too large"
      status = 413
      code   = "body_too_large"
      detail = "A pick has at most ${var.limits.pick_body_bytes} bytes"
      path   = "$"
    })
  }

  # API Gateway passes 16 kB of a body on for inspection unless told otherwise.
  association_config {
    request_body {
      api_gateway {
        default_size_inspection_limit = "KB_64"
      }
    }
  }

  dynamic "rule" {
    for_each = local.rates

    content {
      name     = rule.key
      priority = rule.value.priority

      action {
        block {
          custom_response {
            response_code            = 429
            custom_response_body_key = "rate_limited"

            response_header {
              name  = "Retry-After"
              value = tostring(rule.value.window)
            }
          }
        }
      }

      statement {
        rate_based_statement {
          limit                 = rule.value.limit
          evaluation_window_sec = rule.value.window
          aggregate_key_type    = "IP"

          dynamic "scope_down_statement" {
            for_each = rule.value.path == "" ? [] : [rule.value.path]

            content {
              byte_match_statement {
                search_string         = scope_down_statement.value
                positional_constraint = "ENDS_WITH"

                field_to_match {
                  uri_path {}
                }

                text_transformation {
                  priority = 0
                  type     = "NORMALIZE_PATH"
                }
              }
            }
          }
        }
      }

      visibility_config {
        cloudwatch_metrics_enabled = true
        metric_name                = "${var.name}-${rule.key}"
        sampled_requests_enabled   = true
      }
    }
  }

  rule {
    name     = "pick-body-size"
    priority = 30

    action {
      block {
        custom_response {
          response_code            = 413
          custom_response_body_key = "body_too_large"
        }
      }
    }

    statement {
      and_statement {
        statement {
          byte_match_statement {
            search_string         = "/draft/pick"
            positional_constraint = "ENDS_WITH"

            field_to_match {
              uri_path {}
            }

            text_transformation {
              priority = 0
              type     = "NORMALIZE_PATH"
            }
          }
        }

        statement {
          size_constraint_statement {
            comparison_operator = "GT"
            size                = var.limits.pick_body_bytes

            field_to_match {
              body {
                oversize_handling = "MATCH"
              }
            }

            text_transformation {
              priority = 0
              type     = "NONE"
            }
          }
        }
      }
    }

    visibility_config {
      cloudwatch_metrics_enabled = true
      metric_name                = "${var.name}-pick-body-size"
      sampled_requests_enabled   = true
    }
  }

  dynamic "rule" {
    for_each = local.managed

    content {
      name     = rule.key
      priority = rule.value.priority

      override_action {
        none {}
      }

      statement {
        managed_rule_group_statement {
          vendor_name = "AWS"
          name        = rule.key

          dynamic "rule_action_override" {
            for_each = rule.value.counted

            content {
              name = rule_action_override.value

              action_to_use {
                count {}
              }
            }
          }
        }
      }

      visibility_config {
        cloudwatch_metrics_enabled = true
        metric_name                = "${var.name}-${rule.key}"
        sampled_requests_enabled   = true
      }
    }
  }

  dynamic "rule" {
    for_each = length(var.countries) > 0 ? [var.countries] : []

    content {
      name     = "countries"
      priority = 70

      action {
        block {}
      }

      statement {
        not_statement {
          statement {
            geo_match_statement {
              country_codes = sort(rule.value)
            }
          }
        }
      }

      visibility_config {
        cloudwatch_metrics_enabled = true
        metric_name                = "${var.name}-countries"
        sampled_requests_enabled   = true
      }
    }
  }

  visibility_config {
    cloudwatch_metrics_enabled = true
    metric_name                = var.name
    sampled_requests_enabled   = true
  }
}

resource "aws_wafv2_web_acl_association" "this" {
  resource_arn = var.stage_arn
  web_acl_arn  = aws_wafv2_web_acl.this.arn
}

# AWS demands the prefix.
resource "aws_cloudwatch_log_group" "waf" {
  name              = "aws-waf-logs-${var.name}"
  retention_in_days = var.log_days
}

resource "aws_wafv2_web_acl_logging_configuration" "this" {
  resource_arn            = aws_wafv2_web_acl.this.arn
  log_destination_configs = [aws_cloudwatch_log_group.waf.arn]

  redacted_fields {
    single_header {
      name = "x-api-key"
    }
  }

  # Only what was blocked or counted: everything else is in the access log.
  logging_filter {
    default_behavior = "DROP"

    filter {
      behavior    = "KEEP"
      requirement = "MEETS_ANY"

      condition {
        action_condition {
          action = "BLOCK"
        }
      }

      condition {
        action_condition {
          action = "COUNT"
        }
      }
    }
  }
}
