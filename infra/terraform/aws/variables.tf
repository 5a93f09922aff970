variable "name" {
  description = "Name of the deployment: of the cluster and the broker, and prefix of all other names."
  type        = string
  default     = "scriptorium"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,30}[a-z0-9]$", var.name))
    error_message = "name has 3 to 32 lower-case letters, digits and hyphens, and begins with a letter."
  }
}

variable "region" {
  description = "Region of everything; that of the recordings, else each gigabyte of them is charged."
  type        = string
}

variable "tags" {
  description = "Further tags for all resources."
  type        = map(string)
  default     = {}
}

# Network

variable "network" {
  description = "An existing VPC with private subnets in three zones, from which the internet can be reached; null: one is created."
  type        = object({ vpc_id = string, private_subnet_ids = list(string) })
  default     = null

  validation {
    condition     = var.network == null || try(length(distinct(var.network.private_subnet_ids)), 0) >= 3
    error_message = "network.private_subnet_ids has three subnets or more, in different zones."
  }
}

variable "vpc_cidr" {
  description = "Addresses of the VPC that is created."
  type        = string
  default     = "10.80.0.0/16"

  validation {
    condition     = can(cidrhost(var.vpc_cidr, 0)) && try(tonumber(split("/", var.vpc_cidr)[1]), 99) <= 20
    error_message = "vpc_cidr is an IPv4 prefix of /20 or larger: each pod takes an address."
  }
}

variable "nat_per_zone" {
  description = "A NAT gateway in each zone instead of one for all: survives the loss of a zone, costs three times as much."
  type        = bool
  default     = false
}

# Cluster

variable "kubernetes_version" {
  description = "Minor version of Kubernetes."
  type        = string
  default     = "1.35"

  validation {
    condition     = can(regex("^1\\.(3[2-9]|[4-9][0-9])$", var.kubernetes_version))
    error_message = "kubernetes_version is 1.32 or newer, such as \"1.35\"."
  }
}

variable "endpoint_cidrs" {
  description = "Addresses that may reach the Kubernetes API from the internet; empty: it is reached from the VPC only."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for cidr in var.endpoint_cidrs : can(cidrhost(cidr, 0)) && !endswith(cidr, "/0")])
    error_message = "endpoint_cidrs are IPv4 prefixes, and not the whole internet."
  }
}

variable "system_instance_types" {
  description = "Graviton instance types of the two nodes for Karpenter, KEDA and DNS. Workers have nodes of their own."
  type        = list(string)
  default     = ["m7g.large", "m6g.large"]

  validation {
    # The letter g after the generation: m7g, c7gn, t4g; not m7i or m7a, and not the GPUs g5.
    condition     = alltrue([for type in var.system_instance_types : can(regex("^[a-z]+[0-9]+g[a-z]*\\.", type))])
    error_message = "system_instance_types are Graviton types, such as m7g.large."
  }
}

# Buckets

variable "recordings_bucket" {
  description = "Name of the bucket of the recordings."
  type        = string
}

variable "create_recordings_bucket" {
  description = "Whether that bucket is created. One that exists already is only read, and its notifications are left alone."
  type        = bool
  default     = true
}

variable "recordings_kms_key_arn" {
  description = "Key that encrypts an existing bucket of recordings, if it is one of your own."
  type        = string
  default     = null

  validation {
    condition     = var.recordings_kms_key_arn == null || !var.create_recordings_bucket
    error_message = "recordings_kms_key_arn is for a bucket that exists: a new one is encrypted with the key made here."
  }
}

variable "recordings_prefixes" {
  description = "Prefixes that may be transcribed, each with a slash at the end (worker.sources); [\"\"]: the whole bucket."
  type        = list(string)
  default     = [""]

  validation {
    condition     = length(var.recordings_prefixes) > 0 && alltrue([for p in var.recordings_prefixes : p == "" || (endswith(p, "/") && !startswith(p, "/"))])
    error_message = "recordings_prefixes are keys that end with a slash and do not begin with one."
  }

  validation {
    condition = alltrue([
      for i, a in var.recordings_prefixes : alltrue([for j, b in var.recordings_prefixes : i == j || !startswith(b, a)])
    ])
    error_message = "recordings_prefixes: none begins with another, because S3 refuses such notifications."
  }
}

variable "transcripts_bucket" {
  description = "Name of the bucket of the transcripts, which is created."
  type        = string

  validation {
    condition     = var.transcripts_bucket != var.recordings_bucket
    error_message = "transcripts_bucket is another bucket than recordings_bucket: workers may write to one and not to the other."
  }
}

variable "outputs" {
  description = "Prefixes that are given to --out, each with a slash at the end (worker.outputs); [\"\"]: any."
  type        = list(string)
  default     = [""]

  validation {
    condition     = length(var.outputs) > 0 && alltrue([for p in var.outputs : p == "" || (endswith(p, "/") && !startswith(p, "/"))])
    error_message = "outputs are keys that end with a slash and do not begin with one."
  }
}

variable "records_days" {
  description = "Days after which the records of a batch expire, counted for each from when it was written; 0: never. Afterwards status and results no longer know the batch; the transcripts stay. They expire directly below the prefixes of outputs only."
  type        = number
  default     = 365

  validation {
    condition     = var.records_days == 0 || (var.records_days >= 45 && floor(var.records_days) == var.records_days)
    error_message = "records_days is 0, or at least 45: a batch is watched for 30 days, and its jobs need its records."
  }
}

variable "old_version_days" {
  description = "Days after which replaced and deleted versions of objects are deleted for good."
  type        = number
  default     = 30

  validation {
    condition     = var.old_version_days >= 1
    error_message = "old_version_days is at least 1."
  }
}

variable "transcripts_versioning" {
  description = "Whether old versions of transcripts are kept. Costs more than it seems (see modules/buckets), and cannot be undone."
  type        = bool
  default     = false
}

# Broker

variable "broker" {
  description = "RabbitMQ of Amazon MQ: CLUSTER_MULTI_AZ (three nodes) or SINGLE_INSTANCE; null: you run one yourself."
  type = object({
    deployment     = optional(string, "CLUSTER_MULTI_AZ")
    engine_version = optional(string, "4.2")
    instance_type  = optional(string, "mq.m7g.large")
  })
  default = {}

  validation {
    condition     = contains(["CLUSTER_MULTI_AZ", "SINGLE_INSTANCE"], try(var.broker.deployment, "SINGLE_INSTANCE"))
    error_message = "broker.deployment is CLUSTER_MULTI_AZ or SINGLE_INSTANCE."
  }

  validation {
    condition     = contains(["3.13", "4.2"], try(var.broker.engine_version, "4.2"))
    error_message = "broker.engine_version is 3.13 or 4.2: older versions of Amazon MQ have no quorum queues."
  }

  validation {
    condition     = try(var.broker.engine_version != "4.2" || startswith(var.broker.instance_type, "mq.m7g."), true)
    error_message = "broker.instance_type is one of mq.m7g: Amazon MQ has RabbitMQ 4.2 on no others."
  }
}

variable "broker_bootstrap_password" {
  description = "First password of the broker's user bootstrap, 12 to 250 characters. It is in the state; README.md has the step that replaces it."
  type        = string
  sensitive   = true
  default     = null

  validation {
    condition     = var.broker == null || try(length(var.broker_bootstrap_password) >= 12 && can(regex("^[^,:= ]{12,250}$", var.broker_bootstrap_password)), false)
    error_message = "broker_bootstrap_password has 12 to 250 characters, none of them a comma, colon, equals sign or space."
  }
}

variable "uploads" {
  description = "Whether uploads become transcripts: notifications of the bucket, and the function that forwards them to RabbitMQ. Needs the broker made here."
  type        = bool
  default     = true

  validation {
    condition     = !var.uploads || var.broker != null
    error_message = "uploads needs broker: the function forwards to the broker made here."
  }
}

variable "queue_prefix" {
  description = "Scriptorium's queue.prefix."
  type        = string
  default     = "scriptorium"
}

# Workloads

variable "namespace" {
  description = "Namespace of the chart."
  type        = string
  default     = "scriptorium"
}

variable "service_accounts" {
  description = "Kubernetes service accounts that get the roles. ../addons names those of the chart after them."
  type        = object({ worker = string, submit = string, bridge = string })
  default     = { worker = "scriptorium", submit = "scriptorium-submit", bridge = "scriptorium-bridge" }

  validation {
    condition     = length(distinct(values(var.service_accounts))) == 3
    error_message = "service_accounts are three different ones: a pod has one role."
  }
}

# Operation

variable "log_days" {
  description = "Days that logs of the control plane and of the forwarder are kept."
  type        = number
  default     = 90
}

variable "alarm_actions" {
  description = "ARNs, such as of SNS topics, that are told of alarms."
  type        = list(string)
  default     = []
}
