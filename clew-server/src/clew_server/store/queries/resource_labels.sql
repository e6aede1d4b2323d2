-- Of each resource that has one of some keys the first value of these, and its type; 0 where the type is not known.
SELECT res_key, lower(hex(any(v))), any(t) FROM
 (SELECT res_key, arrayFirst((v,k)->IS_KEY,mapValues(attrs),mapKeys(attrs)) AS v, arrayFirst((t,k)->IS_KEY,arrayResize(attr_types,length(mapKeys(attrs))),mapKeys(attrs)) AS t
  FROM resources WHERE arrayExists(k->IS_KEY,mapKeys(attrs)))
GROUP BY res_key
