"""Jaeger's query APIs over clew's store: its UI and Grafana's Jaeger data source read from here. Translations, no logic of their own."""
