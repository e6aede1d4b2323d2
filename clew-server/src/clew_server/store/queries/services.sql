SELECT DISTINCT toString(service) AS s FROM red ORDER BY s
