"""SkyWalking 8 to 10: segments over gRPC and HTTP, and what else its agents ask a collector for."""
