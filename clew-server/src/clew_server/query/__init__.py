"""The questions that the API asks of store and log together: traces by id, searches, services, status."""
