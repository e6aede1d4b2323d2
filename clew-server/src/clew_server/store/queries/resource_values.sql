-- Values of an attribute of resources.
SELECT DISTINCT attrs[unhex({key:String})] AS v FROM resources WHERE mapContains(attrs,unhex({key:String})) ORDER BY v LIMIT {limit:UInt64}
