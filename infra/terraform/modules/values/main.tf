# The values of the charts, as plain data: no provider is needed to compute them, so they can be tested anywhere.

locals {
  # Only workers tolerate it, so that nothing else keeps a node for recordings alive.
  taint = "scriptorium/workers"
  broker = {
    amqp_secret = "${var.name}-broker"
    keda_secret = "${var.name}-keda"
  }

  karpenter = {
    settings = {
      clusterName       = var.cluster_name
      clusterEndpoint   = var.cluster_endpoint
      interruptionQueue = var.interruptions
    }
    # By Pod Identity, to this account: modules/karpenter.
    serviceAccount = { name = "karpenter" }
  }

  nodes = {
    taint           = local.taint
    role            = var.node_role_name
    subnetIds       = var.subnet_ids
    securityGroupId = var.security_group_id
    image           = var.nodes.image
    diskSize        = "${var.nodes.disk_gib}Gi"
    cpuLimit        = var.nodes.cpu_limit
    tags            = merge({ Application = "scriptorium", Deployment = var.name }, var.tags)
  }

  scriptorium = {
    fullnameOverride = var.name
    broker = {
      existingSecret = local.broker.amqp_secret
      prefix         = var.queue_prefix
      management = {
        url            = "https://${var.broker_host}"
        existingSecret = local.broker.keda_secret
      }
    }
    store = {
      region  = var.region
      sources = var.sources
      outputs = var.outputs
    }
    # A bucket that somebody else has under one of these names is refused.
    config         = { store = { s3 = { expected_bucket_owner = var.account_id } } }
    serviceAccount = { name = var.service_accounts.worker }
    pools          = var.pools
    poolDefaults = {
      # Four workers of two threads fit on 8 vCPUs, beside what the system takes of them.
      resources = {
        requests = { cpu = "1900m", memory = "2Gi" }
        limits   = { memory = "2Gi" }
      }
      # With a budget, the workers of a spot node that goes would be stopped one after the other, and most of them too
      # late to save what they have computed. Nodes are replaced a tenth at a time anyway (addons/nodes).
      podDisruptionBudget = { enabled = false }
      tolerations         = [{ key = local.taint, operator = "Exists", effect = "NoSchedule" }]
    }
    bridge = {
      enabled        = var.bridge
      exchange       = "${var.queue_prefix}.uploads"
      serviceAccount = { name = var.service_accounts.bridge }
      rules          = var.bridge ? [for rule in var.bridge_rules : { for key, value in rule : key => value if value != null }] : []
    }
    submit = { serviceAccount = { name = var.service_accounts.submit } }
  }
}
