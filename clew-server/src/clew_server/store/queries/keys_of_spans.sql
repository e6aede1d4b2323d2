-- How many spans these are, in the place '', and keys of their attributes, of their events, links, scopes and resources, with the types of values and how many spans have them.
-- Spans with the same keys are counted together first: there are few such forms. The parts of a map are read by themselves: the keys only.
SELECT z.1 AS place, z.2 AS key, z.3 AS t, sum(n) AS spans_with FROM (SELECT n, arrayJoin(arrayConcat([('','',toUInt8(0))],
  arrayMap(x->('span',toString(x.1),x.2),arrayFilter((x,time)->time=1,arrayZip(ks,ts),arrayEnumerateUniq(ks))),
  arrayMap(k->('event',toString(k),toUInt8(0)),arrayDistinct(arrayFlatten(es))), arrayMap(k->('link',toString(k),toUInt8(0)),arrayDistinct(arrayFlatten(ls))),
  arrayMap(k->('scope',toString(k),toUInt8(0)),arrayDistinct(ss)), arrayMap(k->('resource',k,toUInt8(0)),rs))) AS z
 FROM (SELECT attrs.keys AS ks, attr_types AS ts, event_attrs.keys AS es, link_attrs.keys AS ls, scope_attrs.keys AS ss, res_key, count() AS n
  FROM spans PREWHERE SAMPLE WHERE SPAN_WINDOW AND SPAN_CONDITIONS GROUP BY ks, ts, es, ls, ss, res_key) AS forms
 LEFT JOIN (SELECT res_key, groupUniqArrayArray(mapKeys(attrs)) AS rs FROM resources GROUP BY res_key) AS of_resources USING (res_key))
GROUP BY place, key, t ORDER BY place='' DESC, spans_with DESC, key LIMIT {limit:UInt64}
