"""Zipkin's query API, `/api/v2/*`, beside the receiver on its port: translations of what `query.service` answers."""
