-- When spans of each version of a service first started, as far as the time that is looked at goes back.
SELECT service, version, toUnixTimestamp64Nano(min(first))
FROM (SELECT service, res_key, min(start) AS first FROM spans WHERE H(NS({from_ns:Int64}),NS({to_ns:Int64})) AND start!=FRAGMENT GROUP BY service, res_key) AS seen
INNER JOIN (SELECT DISTINCT res_key, attrs['service.version'] AS version FROM resources WHERE version!='') AS versions USING (res_key)
GROUP BY service, version
ORDER BY min(first) DESC, service, version LIMIT {limit:UInt64}
