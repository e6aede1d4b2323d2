SELECT DISTINCT toString(name) AS n, kind FROM red WHERE red.n>0 AND service=unhex({service:String}) ORDER BY n, kind
