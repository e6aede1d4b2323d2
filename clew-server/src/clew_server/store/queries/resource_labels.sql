-- Of each resource that has some of some keys the value of the first of these, and its type; 0 where the type is not known.
SELECT res_key, lower(hex(any(mapValues(attrs)[place]))), any(attr_types[place]) FROM
 (SELECT res_key, attrs, attr_types, PLACE_OF_KEY AS place FROM resources WHERE place>0)
GROUP BY res_key
