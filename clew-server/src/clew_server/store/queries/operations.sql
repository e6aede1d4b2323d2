SELECT DISTINCT toString(name) AS n, kind FROM operations WHERE service=unhex({service:String}) ORDER BY n, kind
