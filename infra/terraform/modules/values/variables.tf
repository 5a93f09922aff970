# The first ones are what ../aws gives: terraform output -json addons.

variable "name" {
  description = "Name of the deployment."
  type        = string
}

variable "region" {
  description = "Region of the buckets."
  type        = string
}

variable "account_id" {
  description = "Account that owns the buckets."
  type        = string
}

variable "cluster_name" {
  description = "Name of the cluster."
  type        = string
}

variable "cluster_endpoint" {
  description = "URL of the Kubernetes API."
  type        = string
}

variable "node_role_name" {
  description = "Role of Karpenter's nodes."
  type        = string
}

variable "interruptions" {
  description = "Queue that tells Karpenter of interruptions."
  type        = string
}

variable "subnet_ids" {
  description = "Subnets of the nodes."
  type        = list(string)
}

variable "security_group_id" {
  description = "Security group of the nodes."
  type        = string
}

variable "service_accounts" {
  description = "Kubernetes service accounts that have the roles."
  type        = object({ worker = string, submit = string, bridge = string })
}

variable "queue_prefix" {
  description = "Scriptorium's queue.prefix."
  type        = string
}

variable "broker_host" {
  description = "Host of RabbitMQ."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9.-]+$", var.broker_host))
    error_message = "broker_host is the host of the broker's management API, without scheme and port."
  }
}

variable "sources" {
  description = "worker.sources."
  type        = list(string)
}

variable "outputs" {
  description = "worker.outputs."
  type        = list(string)
}

variable "bridge" {
  description = "Whether uploads become transcripts."
  type        = bool
}

# The rest is yours to choose.

variable "bridge_rules" {
  description = "Which uploads become which transcripts: docs/operations.md, \"Uploads become transcripts\"."
  type = list(object({
    source    = string
    output    = string
    name      = optional(string)
    include   = optional(list(string))
    exclude   = optional(list(string))
    all_files = optional(bool)
    lane      = optional(string)
  }))
  default = []

  validation {
    condition     = !var.bridge || length(var.bridge_rules) > 0
    error_message = "bridge_rules: there are none. The bridge does not start without one."
  }

  validation {
    condition = alltrue([for rule in var.bridge_rules :
      anytrue([for source in var.sources : startswith(rule.source, source)])
      && anytrue([for output in var.outputs : startswith(rule.output, output)])
    ])
    error_message = "bridge_rules: sources and outputs are below those of ../aws (recordings_prefixes, outputs), or workers would be denied."
  }
}

variable "pools" {
  description = "Pools of workers, as in the chart: [{ name = \"default\", recognizer = \"whisper-small.en\" }]."
  type        = any
  default     = [{ name = "default" }]
}

variable "nodes" {
  description = "Nodes of the workers: image (an alias of Karpenter), disk_gib, and cpu_limit, the most vCPUs of all of them."
  type = object({
    image     = optional(string, "al2023@latest")
    disk_gib  = optional(number, 80)
    cpu_limit = optional(number, 256)
  })
  default = {}

  validation {
    condition     = var.nodes.cpu_limit > 0 && var.nodes.disk_gib >= 30
    error_message = "nodes.cpu_limit is more than 0, and nodes.disk_gib at least 30."
  }
}

variable "tags" {
  description = "Further tags of the nodes."
  type        = map(string)
  default     = {}
}
