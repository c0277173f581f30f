"""Make the bucket that the settings name, if it is not there yet; run once before the hub starts."""

from __future__ import annotations

import sys

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from freebits_service.settings import load


def main() -> int:
    """Create the bucket; running again changes nothing."""
    settings = load()
    config = Config(s3={"addressing_style": settings.s3_addressing})
    store = boto3.client(
        "s3", endpoint_url=settings.s3_endpoint or None, region_name=settings.s3_region or None, config=config
    )
    try:
        store.create_bucket(Bucket=settings.s3_bucket)
    except ClientError as error:
        if error.response["Error"]["Code"] not in {"BucketAlreadyOwnedByYou", "BucketAlreadyExists"}:
            raise
        print(f"bucket {settings.s3_bucket} is there")
        return 0
    print(f"bucket {settings.s3_bucket} made")
    return 0


if __name__ == "__main__":
    sys.exit(main())
