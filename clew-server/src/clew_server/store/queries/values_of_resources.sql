-- Values of an attribute of resources, those of most resources first.
SELECT attrs[unhex({key:String})] AS value, count() AS n FROM resources
WHERE has(mapKeys(attrs),unhex({key:String})) AND length(value)<=1024 GROUP BY value ORDER BY n DESC, value LIMIT {limit:UInt64}
