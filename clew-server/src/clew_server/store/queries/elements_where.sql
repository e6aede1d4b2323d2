-- Which of some raw values satisfy a condition on their text `v` and type `t`: their places in the array.
SELECT i FROM (SELECT arrayJoin(arrayZip(arrayEnumerate(raws),TEXTS(raws),arrayMap(w->reinterpretAsUInt8(substring(w,1,1)),raws))) AS z, z.1 AS i, z.2 AS v, z.3 AS t
FROM (SELECT arrayMap(x->unhex(x),{raws:Array(String)}) AS raws)) WHERE ELEMENT_CONDITION
