variables {
  name              = "scriptorium"
  region            = "eu-central-1"
  account_id        = "111122223333"
  cluster_name      = "scriptorium"
  cluster_endpoint  = "https://example.eks.amazonaws.com"
  node_role_name    = "scriptorium-karpenter-node"
  interruptions     = "scriptorium-karpenter"
  subnet_ids        = ["subnet-1", "subnet-2", "subnet-3"]
  security_group_id = "sg-1"
  service_accounts  = { worker = "scriptorium", submit = "scriptorium-submit", bridge = "scriptorium-bridge" }
  queue_prefix      = "scriptorium"
  broker_host       = "b-1234.mq.eu-central-1.on.aws"
  sources           = ["s3://acme-recordings/calls/"]
  outputs           = ["s3://acme-transcripts/calls/"]
  bridge            = true
  bridge_rules      = [{ source = "s3://acme-recordings/calls/", output = "s3://acme-transcripts/calls/", name = "{date}/{path}" }]
}

run "values" {
  assert {
    condition     = startswith(yamldecode(output.scriptorium).broker.management.url, "https://")
    error_message = "KEDA asks the management API: over AMQP it stops workers that are busy."
  }

  assert {
    condition     = yamldecode(output.scriptorium).bridge.rules == [{ source = "s3://acme-recordings/calls/", output = "s3://acme-transcripts/calls/", name = "{date}/{path}" }]
    error_message = "A rule has what was set, and no nulls."
  }

  assert {
    condition     = yamldecode(output.scriptorium).poolDefaults.tolerations[0].key == yamldecode(output.nodes).taint
    error_message = "Workers may run on the workers' nodes."
  }

  assert {
    condition     = !yamldecode(output.scriptorium).poolDefaults.podDisruptionBudget.enabled
    error_message = "All workers of a spot node that goes are told at once."
  }

  assert {
    condition     = yamldecode(output.scriptorium).serviceAccount.name == "scriptorium" && yamldecode(output.scriptorium).bridge.serviceAccount.name == "scriptorium-bridge"
    error_message = "Pods have the service accounts that have the roles."
  }

  assert {
    condition     = !strcontains(lower(output.scriptorium), "password") && !strcontains(output.scriptorium, "amqp")
    error_message = "Secrets are named, and not among the values, which the state has."
  }
}

run "a_bridge_without_rules" {
  command = plan

  variables {
    bridge_rules = []
  }

  expect_failures = [var.bridge_rules]
}

run "a_rule_outside" {
  command = plan

  variables {
    bridge_rules = [{ source = "s3://acme-recordings/other/", output = "s3://acme-transcripts/calls/" }]
  }

  expect_failures = [var.bridge_rules]
}

run "amqp_for_keda" {
  command = plan

  variables {
    broker_host = "amqps://b-1234.mq.eu-central-1.on.aws:5671"
  }

  expect_failures = [var.broker_host]
}
