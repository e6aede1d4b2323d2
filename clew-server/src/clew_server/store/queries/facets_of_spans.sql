-- How many traces have a span with each service, name, kind, status and value of some attributes.
SELECT z.1, z.2, z.3 AS v, count() AS traces_with, countIf(has_failed), countIf(is_selected) FROM
 (SELECT DISTINCT trace_id, z FROM (SELECT trace_id, arrayJoin(arrayConcat(
   [('language','service',toString(service)),('language','name',toString(name)),('language','kind',toString(kind)),('language','status',toString(status))],
   arrayMap((k,v)->('span',NEWEST_NAME,v),
    arrayFilter((k,t)->t IN CATEGORIES,mapKeys(attrs),attr_types),arrayFilter((v,t)->t IN CATEGORIES,mapValues(attrs),attr_types)))) AS z
   FROM spans WHERE SPAN_WINDOW AND start!=FRAGMENT AND SPANS_OF_MEMBERS)
  WHERE z.1='language' OR z.2 IN (SELECT unhex(arrayJoin({keys:Array(String)})))) AS had
INNER JOIN (MEMBERS) AS members USING (trace_id)
GROUP BY z ORDER BY traces_with DESC, v LIMIT {limit:UInt64} BY z.1, z.2
