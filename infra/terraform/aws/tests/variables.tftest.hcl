# Values that cannot work, or that would open what must be closed, are refused before anything is planned.

mock_provider "aws" {
  source          = "./tests/mocks"
  override_during = plan
}

variables {
  region                    = "eu-central-1"
  recordings_bucket         = "acme-recordings"
  transcripts_bucket        = "acme-transcripts"
  broker_bootstrap_password = "twelve-characters"
}

run "one_by_one" {
  command = plan

  variables {
    name                   = "Scriptorium"
    network                = { vpc_id = "vpc-1", private_subnet_ids = ["subnet-1", "subnet-1", "subnet-2"] }
    vpc_cidr               = "10.0.0.0/24"
    kubernetes_version     = "1.27"
    endpoint_cidrs         = ["0.0.0.0/0"]
    system_instance_types  = ["m7i.large"]
    recordings_kms_key_arn = "arn:aws:kms:eu-central-1:111122223333:key/theirs"
    recordings_prefixes    = ["calls"]
    transcripts_bucket     = "acme-recordings"
    outputs                = []
    records_days           = 7
    old_version_days       = 0
    service_accounts       = { worker = "default", submit = "default", bridge = "bridge" }
    broker                 = { engine_version = "3.12" }
  }

  expect_failures = [
    var.name, var.network, var.vpc_cidr, var.kubernetes_version, var.endpoint_cidrs, var.system_instance_types,
    var.recordings_kms_key_arn, var.recordings_prefixes, var.transcripts_bucket, var.outputs, var.records_days,
    var.old_version_days, var.service_accounts, var.broker,
  ]
}

run "what_does_not_fit_together" {
  command = plan

  variables {
    recordings_prefixes = ["calls/", "calls/2026/"]
    broker              = { engine_version = "4.2", instance_type = "mq.m5.large" }
  }

  expect_failures = [var.recordings_prefixes, var.broker]
}

run "a_short_password" {
  command = plan

  variables {
    broker_bootstrap_password = "too short"
  }

  expect_failures = [var.broker_bootstrap_password]
}

run "uploads_need_the_broker" {
  command = plan

  variables {
    broker = null
  }

  expect_failures = [var.uploads]
}
