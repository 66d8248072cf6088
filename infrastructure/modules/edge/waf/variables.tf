variable "name" {
  description = "Name of the web ACL, and prefix of its metrics."
  type        = string
}

variable "stage_arn" {
  description = "The REST API stage to protect."
  type        = string
}

variable "limits" {
  description = "The part `waf` of config/limits.json."
  type = object({
    requests_per_ip   = number
    requests_window_s = number
    picks_per_ip      = number
    picks_window_s    = number
    pick_body_bytes   = number
  })
}

variable "countries" {
  description = "ISO 3166 codes of the countries that are let in; empty for all."
  type        = set(string)
}

variable "bot_control" {
  description = "Whether AWS's bot control inspects requests, at a price per request."
  type        = bool
}

variable "log_days" {
  description = "Days that the log is kept."
  type        = number
}
