-- Keys of attributes of some spans, of their events, links and scopes, with the types of values and how many spans have them.
SELECT z.1, z.2 AS k, z.3, count() AS n FROM (SELECT arrayJoin(arrayDistinct(arrayConcat(
  arrayMap(k->('span',toString(k),attr_types[indexOf(mapKeys(attrs),k)]),arrayDistinct(mapKeys(attrs))),
  arrayMap(k->('event',toString(k),toUInt8(0)),arrayFlatten(arrayMap(m->mapKeys(m),event_attrs))),
  arrayMap(k->('link',toString(k),toUInt8(0)),arrayFlatten(arrayMap(m->mapKeys(m),link_attrs))),
  arrayMap(k->('scope',toString(k),toUInt8(0)),mapKeys(scope_attrs))))) AS z
 FROM spans PREWHERE SAMPLE WHERE SPAN_WINDOW AND SPAN_CONDITIONS)
GROUP BY z ORDER BY n DESC, k LIMIT {limit:UInt64}
