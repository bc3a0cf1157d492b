"""Events as their senders write them, after the references of Google, AWS, MinIO and Knative."""

from __future__ import annotations

import base64
import json
from typing import Any

GOOGLE_OBJECT = {
    "kind": "storage#object",
    "id": "team/raw/2026-11-30.csv/1764547200000000",
    "selfLink": "https://www.googleapis.com/storage/v1/b/team/o/raw%2F2026-11-30.csv",
    "name": "raw/2026-11-30.csv",
    "bucket": "team",
    "generation": "1764547200000000",
    "metageneration": "1",
    "contentType": "text/csv",
    "timeCreated": "2026-12-01T00:00:00.000Z",
    "size": "352",
    "md5Hash": "r0B2lIQtUzlzTkHNcPxMzw==",
    "crc32c": "rTVTeQ==",
    "etag": "CNHZkbuF/ugCEAE=",
}
EVENTARC = {
    "ce-specversion": "1.0",
    "ce-id": "1234567890",
    "ce-type": "google.cloud.storage.object.v1.finalized",
    "ce-source": "//storage.googleapis.com/projects/_/buckets/team",
    "ce-subject": "objects/raw/2026-11-30.csv",
    "content-type": "application/json",
}
PUBSUB_PUSH = {
    "message": {
        "attributes": {
            "bucketId": "team",
            "eventTime": "2026-12-01T00:00:00.000000Z",
            "eventType": "OBJECT_FINALIZE",
            "notificationConfig": "projects/_/buckets/team/notificationConfigs/3",
            "objectGeneration": "1764547200000000",
            "objectId": "raw/2026-11-30.csv",
            "payloadFormat": "JSON_API_V1",
        },
        "data": base64.b64encode(json.dumps(GOOGLE_OBJECT).encode()).decode(),
        "messageId": "12023427138215381",
        "publishTime": "2026-12-01T00:00:00.115Z",
    },
    "subscription": "projects/team/subscriptions/mainspring",
}
S3_RECORD = {
    "eventVersion": "2.0",
    "eventSource": "minio:s3",
    "awsRegion": "",
    "eventTime": "2026-12-01T00:00:00.000Z",
    "eventName": "s3:ObjectCreated:Put",
    "userIdentity": {"principalId": "ingest"},
    "requestParameters": {"principalId": "ingest", "region": "", "sourceIPAddress": "10.0.0.7"},
    "responseElements": {"x-amz-request-id": "17F3C2D6B3AB1FC0", "x-minio-origin-endpoint": "http://10.0.0.2:9000"},
    "s3": {
        "s3SchemaVersion": "1.0",
        "configurationId": "Config",
        "bucket": {"name": "team", "ownerIdentity": {"principalId": "ingest"}, "arn": "arn:aws:s3:::team"},
        "object": {
            "key": "raw%2F2026-11-30+a%2Bb.csv",
            "size": 352,
            "eTag": "af40769484 2d5339".replace(" ", ""),
            "contentType": "text/csv",
            "userMetadata": {"content-type": "text/csv"},
            "sequencer": "17F3C2D6B3B0A2C4",
        },
    },
    "source": {"host": "10.0.0.7", "port": "", "userAgent": "MinIO (linux; amd64) minio-go/v7.0.66"},
}
MINIO = {"EventName": "s3:ObjectCreated:Put", "Key": "team/raw/2026-11-30 a+b.csv", "Records": [S3_RECORD]}
SNS = {
    "Type": "Notification",
    "MessageId": "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324",
    "TopicArn": "arn:aws:sns:us-west-2:123456789012:arrivals",
    "Subject": "Amazon S3 Notification",
    "Message": json.dumps({"Records": [S3_RECORD | {"eventName": "ObjectCreated:CompleteMultipartUpload"}]}),
    "Timestamp": "2026-12-01T00:00:00.000Z",
}
EVENTBRIDGE = {
    "version": "0",
    "id": "17793124-05d4-b198-2fde-7ededc63b103",
    "detail-type": "Object Created",
    "source": "aws.s3",
    "account": "111122223333",
    "time": "2026-12-01T00:00:00Z",
    "region": "ca-central-1",
    "resources": ["arn:aws:s3:::team"],
    "detail": {
        "version": "0",
        "bucket": {"name": "team"},
        "object": {
            "key": "raw/2026-11-30.csv",
            "size": 5,
            "etag": "b1946ac92492d2347c6235b4d2611184",
            "sequencer": "00",
        },
        "request-id": "N4N7GDK58NMKJ12R",
        "reason": "PutObject",
    },
}
KAFKA = {
    "ce-specversion": "1.0",
    "ce-id": "partition:0/offset:17",
    "ce-type": "dev.knative.kafka.event",
    "ce-source": "/apis/v1/namespaces/team/kafkasources/arrivals#minio",
    "ce-subject": "partition:0#17",
    "content-type": "application/json",
}
"""Knative's Kafka source: the record is the body; MinIO writes its event as the record."""
STRUCTURED = {
    "specversion": "1.0",
    "id": "1",
    "type": "google.cloud.storage.object.v1.finalized",
    "source": "//storage.googleapis.com/projects/_/buckets/team",
    "datacontenttype": "application/json",
    "data": GOOGLE_OBJECT,
}


def without(name: str, body: dict[str, Any]) -> dict[str, Any]:
    """Returns a body without one of its keys."""
    return {key: value for key, value in body.items() if key != name}
