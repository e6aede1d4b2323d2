-- How many traces have a span with each service, name, kind and status, and with each attribute of its resource that is a text, a boolean or an integer;
-- and in the place 'all' how many there are, and at last how many of these failed and are selected.
-- Of each value a set of numbers of traces, so that a trace counts once, also under two names of a key. To put a span into a set is what costs: that
-- is done by three groups of columns whose values go together, and the sets of single values are made of these.
SELECT place, key, v, COUNTS_OF_TRACES, if(place='all',FAILED_AND_SELECTED,0) FROM
 (SELECT place, NEWEST_NAME AS key, v, groupBitmapMergeState(numbers) AS traces FROM
  (SELECT numbers, arrayJoin(if(is_resource,arrayPushFront(pairs,one),if(is_name,[one],[one,other,('all','','')]))) AS found, found.1 AS place, found.2 AS k, found.3 AS v FROM
   (SELECT grouping(res_key)=0 AS is_resource, grouping(name)=0 AS is_name, if(is_resource,res_key,0) AS of_resource, groupBitmapState(number) AS numbers,
    multiIf(is_resource,('language','service',toString(service)),is_name,('language','name',toString(name)),('language','kind',toString(kind))) AS one,
    ('language','status',toString(status)) AS other
    FROM NUMBERED_SPANS GROUP BY GROUPING SETS ((service,res_key),(name),(kind,status))) AS of_spans
   LEFT JOIN (SELECT res_key AS of_resource, arrayMap(one->('resource',one.1,one.2),arrayFilter(one->one.1 NOT IN ('service.name','process.command_args'),
     groupUniqArrayArray(arrayFilter((one,t)->t IN CATEGORIES OR t=0,arrayZip(mapKeys(attrs),mapValues(attrs)),arrayResize(attr_types,length(mapKeys(attrs))))))) AS pairs FROM resources GROUP BY res_key) AS of_resources
    USING (of_resource))
  GROUP BY place, key, v)
ORDER BY place, traces_with DESC, v LIMIT {limit:UInt64} BY place, key LIMIT {rows:UInt64}
