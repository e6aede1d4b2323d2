"""Tempo's query API, as Grafana's Tempo data source asks it: translations to and from the questions of `query.service`."""
