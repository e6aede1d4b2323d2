-- How many traces have a span with each service, name, kind and status, and with each attribute of its resource, whose values have no types.
-- Of each value a set of numbers of traces, so that a trace counts once, also under two names of a key.
SELECT place, key, v, COUNTS_OF_TRACES FROM
 (SELECT place, NEWEST_NAME AS key, v, groupBitmapMergeState(numbers) AS traces FROM
  (SELECT place, numbers, arrayJoin(if(place='resource',pairs,[pair])) AS one, one.1 AS k, one.2 AS v FROM
   (SELECT if(grouping(res_key)=0,'resource','language') AS place, if(place='resource',res_key,0) AS of_resource, groupBitmapState(number) AS numbers,
    multiIf(grouping(service)=0,('service',toString(service)),grouping(name)=0,('name',toString(name)),grouping(kind)=0,('kind',toString(kind)),('status',toString(status))) AS pair
    FROM NUMBERED_SPANS
    GROUP BY GROUPING SETS ((service),(name),(kind),(status),(res_key))) AS of_spans
   LEFT JOIN (SELECT res_key AS of_resource, groupUniqArrayArray(arrayZip(mapKeys(attrs),mapValues(attrs))) AS pairs FROM resources GROUP BY res_key) AS of_resources
    USING (of_resource))
  WHERE place='language' OR k NOT IN ('service.name','process.command_args') GROUP BY place, key, v)
ORDER BY place, traces_with DESC, v LIMIT {limit:UInt64} BY place, key LIMIT {rows:UInt64}
