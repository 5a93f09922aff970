terraform {
  required_version = ">= 1.11"

  required_providers {
    helm = {
      source  = "hashicorp/helm"
      version = "~> 3.0"
    }
  }

  # As in ../aws: a backend of your own, with another key.
}

# The cluster by the kubeconfig that `aws eks update-kubeconfig` writes: no token is in the state.
provider "helm" {
  kubernetes = {
    config_path    = pathexpand(var.kubeconfig)
    config_context = var.kubeconfig_context
  }
}
