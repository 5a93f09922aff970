# What is built: closed, encrypted, on Graviton, and no more than was asked for.

mock_provider "aws" {
  source          = "./tests/mocks"
  override_during = plan
}

variables {
  region                    = "eu-central-1"
  recordings_bucket         = "acme-recordings"
  recordings_prefixes       = ["calls/", "meetings/"]
  transcripts_bucket        = "acme-transcripts"
  outputs                   = ["calls/", ""]
  broker_bootstrap_password = "twelve-characters"
}

run "defaults" {
  command = plan

  # Buckets

  assert {
    condition = alltrue(flatten([for block in module.buckets.public_access : [
      block.block_public_acls, block.block_public_policy, block.ignore_public_acls, block.restrict_public_buckets,
    ]])) && length(module.buckets.public_access) == 2
    error_message = "Neither bucket is ever public."
  }

  assert {
    condition = length(module.buckets.encryption) == 2 && alltrue([for config in module.buckets.encryption :
      one(config.rule).bucket_key_enabled
      && one(one(config.rule).apply_server_side_encryption_by_default).sse_algorithm == "aws:kms"
      && one(one(config.rule).apply_server_side_encryption_by_default).kms_master_key_id == aws_kms_key.data.arn
    ])
    error_message = "Both buckets are encrypted with the key of this deployment, and with keys of the bucket."
  }

  assert {
    condition     = aws_kms_key.data.enable_key_rotation
    error_message = "The key is replaced each year."
  }

  assert {
    condition = alltrue([for policy in module.buckets.bucket_policies :
      jsondecode(policy.policy).Statement[0].Effect == "Deny"
      && jsondecode(policy.policy).Statement[0].Condition.Bool["aws:SecureTransport"] == "false"
      && length(jsondecode(policy.policy).Statement[0].Resource) == 2
    ])
    error_message = "Nobody reaches the buckets without TLS."
  }

  assert {
    condition = (
      one(module.buckets.versioning["recordings"].versioning_configuration).status == "Enabled"
      && one(module.buckets.versioning["transcripts"].versioning_configuration).status == "Disabled"
    )
    error_message = "Originals have versions; what can be made again, and is replaced every two seconds, has none."
  }

  assert {
    condition = alltrue([for config in module.buckets.lifecycle :
      anytrue([for rule in config.rule : try(one(rule.abort_incomplete_multipart_upload).days_after_initiation, 0) == 7])
    ])
    error_message = "Uploads that were never finished are deleted."
  }

  assert {
    condition = {
      for rule in module.buckets.lifecycle["transcripts"].rule : one(rule.filter).prefix => one(rule.expiration).days
      if startswith(rule.id, "records-")
    } == { "calls/.scriptorium/" = 365, ".scriptorium/" = 365 }
    error_message = "The records of batches expire, below each output, and nothing else of the transcripts does."
  }

  assert {
    condition     = [for rule in module.buckets.lifecycle["recordings"].rule : rule.id] == ["incomplete-uploads", "old-versions"]
    error_message = "No rule deletes recordings, other than old versions of them."
  }

  # Uploads

  assert {
    condition = toset([for queue in one(module.uploads[0].notification).queue : queue.filter_prefix]) == toset(["calls/", "meetings/"]) && alltrue([
      for queue in one(module.uploads[0].notification).queue : queue.events == toset(["s3:ObjectCreated:*"])
    ])
    error_message = "Uploads below the prefixes are announced, and nothing else."
  }

  assert {
    condition = (
      module.uploads[0].queue.sqs_managed_sse_enabled
      && jsondecode(module.uploads[0].queue.redrive_policy).maxReceiveCount >= 100
      && module.uploads[0].queue.visibility_timeout_seconds >= 6 * module.uploads[0].function.timeout
    )
    error_message = "Notifications are encrypted, outlive a broker that is away, and are not delivered while a try runs."
  }

  assert {
    condition = anytrue([for s in jsondecode(module.uploads[0].queue_policy).Statement :
      s.Effect == "Allow" && try(s.Condition.ArnEquals["aws:SourceArn"], "") == "arn:aws:s3:::acme-recordings"
    ])
    error_message = "Only the bucket of the recordings may send to the queue."
  }

  assert {
    condition = (
      module.uploads[0].function.architectures == tolist(["arm64"])
      && module.uploads[0].function.environment[0].variables["EXCHANGE"] == "scriptorium.uploads"
      && module.uploads[0].function.environment[0].variables["BROKER_URL"] == "https://b-1234.mq.eu-central-1.on.aws"
      && !anytrue([for name, value in module.uploads[0].function.environment[0].variables : strcontains(lower(name), "password")])
    )
    error_message = "The function publishes to the exchange that the bridge binds, and its configuration has no password."
  }

  # Broker

  assert {
    condition = (
      module.broker[0].broker.publicly_accessible == false
      && module.broker[0].broker.engine_version == "4.2"
      && module.broker[0].broker.deployment_mode == "CLUSTER_MULTI_AZ"
      && length(module.broker[0].broker.subnet_ids) > 0
      && output.broker_host == "b-1234.mq.eu-central-1.on.aws"
    )
    error_message = "RabbitMQ is a private cluster of a version with quorum queues."
  }

  assert {
    condition     = toset([for rule in module.broker[0].ingress : "${rule.from_port} ${rule.cidr_ipv4 == null ? "group" : "addresses"}"]) == toset(["5671 group", "443 group"])
    error_message = "Security groups may connect to the broker with TLS; no addresses may."
  }

  # Cluster

  assert {
    condition = (
      module.cluster.node_group.ami_type == "AL2023_ARM_64_STANDARD"
      && alltrue([for type in module.cluster.node_group.instance_types : strcontains(type, "g.")])
      && one(module.cluster.launch_template.metadata_options).http_tokens == "required"
      && one(module.cluster.launch_template.metadata_options).http_put_response_hop_limit == 1
    )
    error_message = "The system's nodes are on Graviton, and pods cannot take their role."
  }

  assert {
    condition = (
      one(module.cluster.cluster.vpc_config).endpoint_public_access == false
      && one(module.cluster.cluster.vpc_config).endpoint_private_access
      && one(module.cluster.cluster.encryption_config).resources == toset(["secrets"])
      && one(module.cluster.cluster.access_config).authentication_mode == "API"
    )
    error_message = "The Kubernetes API is private, and its secrets are encrypted."
  }

  # Network

  assert {
    condition     = length(module.network) == 1 && module.network[0].s3_endpoint.vpc_endpoint_type == "Gateway"
    error_message = "S3 is reached without NAT, which would charge each gigabyte of the recordings."
  }

  assert {
    condition     = output.addons.outputs == ["s3://acme-transcripts/calls/", "s3://acme-transcripts/"] && output.addons.sources == ["s3://acme-recordings/calls/", "s3://acme-recordings/meetings/"]
    error_message = "The chart's prefixes are those of the roles."
  }
}

run "into_what_exists" {
  command = plan

  variables {
    network                  = { vpc_id = "vpc-1", private_subnet_ids = ["subnet-1", "subnet-2", "subnet-3"] }
    create_recordings_bucket = false
    recordings_kms_key_arn   = "arn:aws:kms:eu-central-1:111122223333:key/theirs"
    endpoint_cidrs           = ["192.0.2.0/24"]
    records_days             = 0
    broker                   = { deployment = "SINGLE_INSTANCE", engine_version = "3.13", instance_type = "mq.m5.large" }
  }

  assert {
    condition     = length(module.network) == 0 && output.addons.subnet_ids == tolist(["subnet-1", "subnet-2", "subnet-3"])
    error_message = "An existing VPC is used."
  }

  assert {
    condition     = keys(module.buckets.public_access) == ["transcripts"] && length(module.uploads[0].notification) == 0
    error_message = "An existing bucket, and its notifications, are left alone."
  }

  assert {
    condition = alltrue([
      for s in module.access.policies.worker :
      contains(s.Resource, "arn:aws:kms:eu-central-1:111122223333:key/theirs") if s.Sid == "UseTheKey"
    ])
    error_message = "Workers may use the key that encrypts the existing recordings."
  }

  assert {
    condition     = !anytrue([for rule in module.buckets.lifecycle["transcripts"].rule : startswith(rule.id, "records-")])
    error_message = "records_days = 0 keeps the records."
  }

  assert {
    condition     = module.broker[0].broker.subnet_ids == toset(["subnet-1"])
    error_message = "A single instance is in one subnet."
  }

  assert {
    condition     = one(module.cluster.cluster.vpc_config).public_access_cidrs == toset(["192.0.2.0/24"])
    error_message = "The Kubernetes API is open to the addresses that were named."
  }
}

run "a_broker_of_ones_own" {
  command = plan

  variables {
    broker                    = null
    broker_bootstrap_password = null
    uploads                   = false
  }

  assert {
    condition     = length(module.broker) == 0 && length(module.uploads) == 0 && output.broker_host == null
    error_message = "Without broker and uploads there are none."
  }
}
