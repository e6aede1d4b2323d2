-- Keys of attributes by where they stand: of all resources, and of spans that start in the window, so many of them at most.
SELECT 'resource' AS place, key FROM (SELECT DISTINCT arrayJoin(mapKeys(attrs)) AS key FROM resources) LIMIT 10000
UNION ALL
SELECT 'span', key FROM (SELECT DISTINCT toString(arrayJoin(mapKeys(attrs))) AS key FROM (SELECT attrs FROM spans WHERE H(NS({from_ns:Int64}),NS({to_ns:Int64})) LIMIT {rows:UInt64})) LIMIT 10000
UNION ALL
SELECT 'event', key FROM (SELECT DISTINCT toString(arrayJoin(arrayFlatten(arrayMap(e->mapKeys(e),event_attrs)))) AS key FROM (SELECT event_attrs FROM spans WHERE H(NS({from_ns:Int64}),NS({to_ns:Int64})) LIMIT {rows:UInt64})) LIMIT 10000
