-- Values of an attribute of spans that start in the window, so many of these at most; the most frequent first.
SELECT value, type, count() AS n FROM
 (SELECT attrs[unhex({key:String})] AS value, attr_types[indexOf(mapKeys(attrs),unhex({key:String}))] AS type FROM spans
  WHERE H(NS({from_ns:Int64}),NS({to_ns:Int64})) AND has(mapKeys(attrs),unhex({key:String})) LIMIT {rows:UInt64})
WHERE length(value)<=1024 GROUP BY value, type ORDER BY n DESC, value LIMIT {limit:UInt64}
