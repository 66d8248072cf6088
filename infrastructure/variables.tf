variable "name" {
  description = "Prefix of all names."
  type        = string
  default     = "draft"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,15}$", var.name))
    error_message = "name: 2 to 16 lower-case letters, digits and hyphens, beginning with a letter."
  }
}

variable "environment" {
  description = "Name of the environment: end of all names, and the API's stage."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9]{1,7}$", var.environment))
    error_message = "environment: 2 to 8 lower-case letters and digits, such as dev or prod."
  }
}

variable "region" {
  description = "AWS region."
  type        = string
  default     = "us-west-2"

  validation {
    condition     = can(regex("^(us|eu|ap|sa|ca|me|af|il|mx)-(north|south|east|west|central|northeast|northwest|southeast|southwest)-[1-9]$", var.region))
    error_message = "region: a region of AWS's standard partition, such as us-west-2."
  }
}

variable "release" {
  description = "Tag of the images to run: <version>-<git revision>, as `make push` prints it."
  type        = string

  validation {
    condition     = can(regex("^[0-9]+\\.[0-9]+\\.[0-9]+-[0-9a-f]{7,40}$", var.release))
    error_message = "release: <version>-<git revision>, such as 0.1.0-1a2b3c4; `latest` cannot be rolled back to."
  }
}

variable "model" {
  description = "A released archive to serve instead of the one in the image: its s3:// path and sha256."
  type = object({
    path   = optional(string, "")
    sha256 = optional(string, "")
  })
  default = {}

  validation {
    condition     = var.model.path == "" || can(regex("^s3://[a-z0-9.-]{3,63}/.+\\.mar$", var.model.path))
    error_message = "model.path: s3://bucket/key.mar, or empty for the archive in the image."
  }

  validation {
    condition     = var.model.path == "" || can(regex("^[0-9a-f]{64}$", var.model.sha256))
    error_message = "model.sha256: the 64 hexadecimal digits of the archive at model.path."
  }
}

# ------------------------------------------------------------ network

variable "cidr" {
  description = "IPv4 range of the VPC."
  type        = string
  default     = "10.0.0.0/16"

  validation {
    condition     = can(cidrhost(var.cidr, 0)) && can(regex("/16$", var.cidr)) && can(regex("^(10\\.|172\\.(1[6-9]|2[0-9]|3[01])\\.|192\\.168\\.)", var.cidr))
    error_message = "cidr: a private /16, such as 10.0.0.0/16."
  }
}

variable "zones" {
  description = "Availability zones to spread over."
  type        = number
  default     = 2

  validation {
    condition     = contains([2, 3], var.zones)
    error_message = "zones: 2 or 3."
  }
}

variable "interface_endpoints" {
  description = "AWS services to reach by PrivateLink instead of the NAT gateway; each costs about as much as a task's memory."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for service in var.interface_endpoints : contains(["ecr.api", "ecr.dkr", "logs", "monitoring", "secretsmanager", "ssm", "sts"], service)])
    error_message = "interface_endpoints: ecr.api, ecr.dkr, logs, monitoring, secretsmanager, ssm or sts."
  }
}

variable "flow_log_days" {
  description = "Days that the VPC's rejected connections are kept; 0 keeps none."
  type        = number
  default     = 30

  validation {
    condition     = contains([0, 1, 3, 5, 7, 14, 30, 60, 90, 365], var.flow_log_days)
    error_message = "flow_log_days: 0, 1, 3, 5, 7, 14, 30, 60, 90 or 365."
  }
}

# ------------------------------------------------------------ service

variable "task" {
  description = "Size of a task: CPU units (1024 a vCPU) and memory in MiB. One worker runs on each vCPU."
  type = object({
    cpu    = optional(number, 2048)
    memory = optional(number, 4096)
  })
  default = {}

  validation {
    condition = contains(lookup({
      "1024" = range(2048, 8193, 1024)
      "2048" = range(4096, 16385, 1024)
      "4096" = range(8192, 30721, 1024)
    }, tostring(var.task.cpu), []), var.task.memory)
    error_message = "task: Fargate pairs 1024 CPU units with 2048-8192 MiB, 2048 with 4096-16384, 4096 with 8192-30720, in steps of 1024."
  }
}

variable "tasks" {
  description = "Autoscaling: least and most tasks, the average CPU percentage and requests a minute and task to keep to."
  type = object({
    min              = optional(number, 2)
    max              = optional(number, 10)
    cpu_percent      = optional(number, 70)
    requests_per_min = optional(number, 30000)
  })
  default = {}

  validation {
    condition     = var.tasks.min >= 1 && var.tasks.max >= var.tasks.min && var.tasks.max <= 100 && floor(var.tasks.min) == var.tasks.min && floor(var.tasks.max) == var.tasks.max
    error_message = "tasks: whole numbers with 1 <= min <= max <= 100."
  }

  validation {
    condition     = var.tasks.cpu_percent >= 10 && var.tasks.cpu_percent <= 90 && var.tasks.requests_per_min >= 1
    error_message = "tasks: cpu_percent from 10 to 90, requests_per_min at least 1."
  }
}

variable "deregistration_s" {
  description = "Seconds that the load balancer waits for requests in flight before a task is stopped."
  type        = number
  default     = 20

  validation {
    condition     = var.deregistration_s >= 0 && var.deregistration_s <= 300
    error_message = "deregistration_s: 0 to 300."
  }
}

variable "images_kept" {
  description = "Images of each kind that the registry keeps."
  type        = number
  default     = 20

  validation {
    condition     = var.images_kept >= 2 && var.images_kept <= 1000
    error_message = "images_kept: 2 to 1000; with fewer there is nothing to roll back to."
  }
}

variable "protected" {
  description = "Whether load balancers, repositories and the bucket refuse to be destroyed with content."
  type        = bool
  default     = true
}

# ------------------------------------------------------------ front door

variable "api_keys" {
  description = "Names of the clients that get an API key; `make api-key NAME=` adds more without Terraform."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for key in var.api_keys : can(regex("^[a-z0-9][a-z0-9-]{0,62}$", key))])
    error_message = "api_keys: lower-case letters, digits and hyphens."
  }
}

variable "countries" {
  description = "ISO 3166-1 codes of the countries that are let in; empty for all. The EU is no country: list its members."
  type        = set(string)
  default     = []

  validation {
    condition = length(setsubtract(var.countries, split(" ", join(" ", [
      "AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO",
      "BQ BR BS BT BV BW BY BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ",
      "DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR GA GB GD GE GF GG GH GI GL GM GN GP",
      "GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP KE KG",
      "KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML",
      "MM MN MO MP MQ MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE",
      "PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL",
      "SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UM",
      "US UY UZ VA VC VE VG VI VN VU WF WS XK YE YT ZA ZM ZW",
    ])))) == 0
    error_message = "countries: codes that the firewall knows, such as US, CA, DE; EU is no country, and the United Kingdom is GB."
  }
}

variable "bot_control" {
  description = "Whether AWS's bot control inspects requests; it costs by the request."
  type        = bool
  default     = false
}

variable "own_account_settings" {
  description = "Whether this stack sets the role with which API Gateway logs, of which an account has one a region."
  type        = bool
  default     = true
}

# ------------------------------------------------------------ training

variable "training" {
  description = "GPU training on spot machines. A size is a queue: what a job gets and the machines that offer it; memory in MiB."
  type = object({
    enabled     = optional(bool, true)
    machines    = optional(number, 1)
    bid_percent = optional(number, 70)
    attempts    = optional(number, 5)
    timeout_s   = optional(number, 14400)
    disk_gib    = optional(number, 100)
    sizes = optional(map(object({
      instance_types = list(string)
      gpus           = number
      vcpus          = number
      memory         = number
      })), {
      gpu1 = { instance_types = ["g5.xlarge"], gpus = 1, vcpus = 4, memory = 14000 }
      p3   = { instance_types = ["p3.2xlarge"], gpus = 1, vcpus = 8, memory = 56000 }
      gpu4 = { instance_types = ["g5.12xlarge", "p3.8xlarge"], gpus = 4, vcpus = 32, memory = 180000 }
    })
  })
  default = {}

  validation {
    condition     = var.training.attempts >= 1 && var.training.attempts <= 10 && var.training.timeout_s >= 600 && var.training.timeout_s <= 86400
    error_message = "training: 1 to 10 attempts, timeout_s from 600 to 86400."
  }

  validation {
    condition     = var.training.machines >= 1 && var.training.machines <= 10 && var.training.bid_percent >= 10 && var.training.bid_percent <= 100
    error_message = "training: 1 to 10 machines, bid_percent from 10 to 100."
  }

  validation {
    condition     = alltrue([for size in values(var.training.sizes) : size.gpus >= 1 && size.vcpus >= 1 && size.memory >= 1024 && length(size.instance_types) >= 1])
    error_message = "training.sizes: each needs an instance type, a GPU, a vCPU and 1024 MiB."
  }
}

# ------------------------------------------------------------ keeping, watching, paying

variable "log_days" {
  description = "Days that logs are kept."
  type        = number
  default     = 30

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731], var.log_days)
    error_message = "log_days: one of CloudWatch's retention times, such as 7, 14, 30, 90 or 365."
  }
}

variable "old_version_days" {
  description = "Days that deleted objects of the bucket can be brought back."
  type        = number
  default     = 90

  validation {
    condition     = var.old_version_days >= 1
    error_message = "old_version_days: at least 1."
  }
}

variable "checkpoint_days" {
  description = "Days that training checkpoints are kept."
  type        = number
  default     = 30

  validation {
    condition     = var.checkpoint_days >= 1
    error_message = "checkpoint_days: at least 1."
  }
}

variable "email" {
  description = "Who is told of alarms and of the budget."
  type        = string

  validation {
    condition     = can(regex("^[^@\\s]+@[^@\\s]+\\.[^@\\s]+$", var.email))
    error_message = "email: an address, such as you@example.org."
  }
}

variable "monthly_budget_usd" {
  description = "Budget a month, US dollars; mails are sent at 80 % spent and at 100 % forecast."
  type        = number
  default     = 400

  validation {
    condition     = var.monthly_budget_usd > 0
    error_message = "monthly_budget_usd: more than 0."
  }
}

variable "latency_p99_ms" {
  description = "Latency at API Gateway, milliseconds, that 1 % of requests may exceed without an alarm."
  type        = number
  default     = 500

  validation {
    condition     = var.latency_p99_ms > 0 && var.latency_p99_ms <= 29000
    error_message = "latency_p99_ms: 1 to 29000; API Gateway waits no longer."
  }
}
