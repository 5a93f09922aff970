terraform {
  required_version = ">= 1.11"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 5.100"
    }
  }

  # The state names everything and has the broker's first password: keep it in a bucket that is encrypted,
  # versioned and closed, for example
  #
  #   backend "s3" {
  #     bucket       = "..."
  #     key          = "scriptorium/aws.tfstate"
  #     encrypt      = true
  #     use_lockfile = true
  #   }
}

provider "aws" {
  region = var.region

  default_tags {
    tags = merge({ Application = "scriptorium", Deployment = var.name }, var.tags)
  }
}
