terraform {
  required_version = ">= 1.5"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 5.0"
    }
  }
}

variable "region" {
  type        = string
  default     = "eu-north-1"
  description = "Where to build"
}

provider "aws" {
  region = var.region
}

resource "aws_s3_bucket" "data" {
  bucket = "example-data-${var.region}"
  tags = {
    Environment = "test"
  }
}

output "bucket" {
  value = aws_s3_bucket.data.arn
}
