SELECT DISTINCT toString(name) AS n, kind FROM red WHERE service=unhex({service:String}) ORDER BY n, kind
