SELECT DISTINCT toString(service) AS s FROM red WHERE red.n>0 ORDER BY s
