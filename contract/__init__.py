"""What holds openapi.yaml to its word: linters, the document as released, and schemathesis. Never shipped."""
