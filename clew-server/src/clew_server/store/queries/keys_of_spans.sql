-- Keys of attributes of some spans, of their events, links and scopes, with the types of values and how many spans have them.
-- The parts of a map are read by themselves: of most spans only the keys, not the values.
SELECT * FROM (
SELECT 'span', toString(k) AS key, t, count() AS n FROM spans ARRAY JOIN attrs.keys AS k, attr_types AS t, arrayEnumerateUniq(attrs.keys) AS time
 PREWHERE SAMPLE WHERE SPAN_WINDOW AND SPAN_CONDITIONS AND time=1 GROUP BY k, t
UNION ALL SELECT 'event', toString(k), 0, count() FROM (SELECT arrayJoin(arrayDistinct(arrayFlatten(event_attrs.keys))) AS k
 FROM spans PREWHERE SAMPLE WHERE SPAN_WINDOW AND SPAN_CONDITIONS AND notEmpty(event_names)) GROUP BY k
UNION ALL SELECT 'link', toString(k), 0, count() FROM (SELECT arrayJoin(arrayDistinct(arrayFlatten(link_attrs.keys))) AS k
 FROM spans PREWHERE SAMPLE WHERE SPAN_WINDOW AND SPAN_CONDITIONS AND notEmpty(link_traces)) GROUP BY k
UNION ALL SELECT 'scope', toString(k), 0, count() FROM (SELECT arrayJoin(arrayDistinct(scope_attrs.keys)) AS k
 FROM spans PREWHERE SAMPLE WHERE SPAN_WINDOW AND SPAN_CONDITIONS) GROUP BY k)
ORDER BY n DESC, key LIMIT {limit:UInt64}
