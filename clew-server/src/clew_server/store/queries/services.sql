SELECT DISTINCT toString(service) AS s FROM operations ORDER BY s
