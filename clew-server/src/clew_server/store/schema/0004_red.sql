-- Rate, errors and durations by operation and service, by minute and hour.
CREATE TABLE IF NOT EXISTS red (received SAF(max,DT), t DT CODEC(DoubleDelta,Z), service LC, name LC, kind UInt8, n SAF(sum,UInt64) CODEC(T64,Z), errors SAF(sum,UInt64) CODEC(T64,Z), dur SAF(sum,UInt64) CODEC(T64,Z), q AggregateFunction(QT,UInt64) CODEC(Z))
ENGINE=AggregatingMergeTree P ORDER BY (service,name,kind,t) SETTINGS W;
CREATE MATERIALIZED VIEW IF NOT EXISTS mv_red TO red AS
SELECT max(rc) AS received, toStartOfMinute(start) AS t, service, name, kind, count() AS n, countIf(status=2) AS errors, sum(duration) AS dur, QTState(duration) AS q
FROM (SELECT *, received AS rc FROM spans) GROUP BY t,service,name,kind;
CREATE TABLE IF NOT EXISTS red_svc (received SAF(max,DT), t DT CODEC(DoubleDelta,Z), service LC, kind UInt8, n SAF(sum,UInt64) CODEC(T64,Z), errors SAF(sum,UInt64) CODEC(T64,Z), dur SAF(sum,UInt64) CODEC(T64,Z), q AggregateFunction(QT,UInt64) CODEC(Z))
ENGINE=AggregatingMergeTree P ORDER BY (service,kind,t) SETTINGS W;
CREATE MATERIALIZED VIEW IF NOT EXISTS mv_red_svc TO red_svc AS
SELECT max(rc) AS received, t_ AS t, service,kind, sum(n_) AS n, sum(e_) AS errors, sum(d_) AS dur, QTMergeState(q_) AS q
FROM (SELECT received AS rc, t AS t_, service,kind, n AS n_, errors AS e_, dur AS d_, q AS q_ FROM red) GROUP BY t,service,kind;
CREATE TABLE IF NOT EXISTS red_hour (received SAF(max,DT), t DT CODEC(DoubleDelta,Z), service LC, name LC, kind UInt8, n SAF(sum,UInt64) CODEC(T64,Z), errors SAF(sum,UInt64) CODEC(T64,Z), dur SAF(sum,UInt64) CODEC(T64,Z), q AggregateFunction(QT,UInt64) CODEC(Z))
ENGINE=AggregatingMergeTree P ORDER BY (service,name,kind,t) SETTINGS W;
CREATE MATERIALIZED VIEW IF NOT EXISTS mv_red_hour TO red_hour AS
SELECT max(rc) AS received, toStartOfHour(t_) AS t, service,name,kind, sum(n_) AS n, sum(e_) AS errors, sum(d_) AS dur, QTMergeState(q_) AS q
FROM (SELECT received AS rc, t AS t_, service,name,kind, n AS n_, errors AS e_, dur AS d_, q AS q_ FROM red) GROUP BY t,service,name,kind;
CREATE TABLE IF NOT EXISTS red_svc_hour (received SAF(max,DT), t DT CODEC(DoubleDelta,Z), service LC, kind UInt8, n SAF(sum,UInt64) CODEC(T64,Z), errors SAF(sum,UInt64) CODEC(T64,Z), dur SAF(sum,UInt64) CODEC(T64,Z), q AggregateFunction(QT,UInt64) CODEC(Z))
ENGINE=AggregatingMergeTree P ORDER BY (service,kind,t) SETTINGS W;
CREATE MATERIALIZED VIEW IF NOT EXISTS mv_red_svc_hour TO red_svc_hour AS
SELECT max(rc) AS received, toStartOfHour(t_) AS t, service,kind, sum(n_) AS n, sum(e_) AS errors, sum(d_) AS dur, QTMergeState(q_) AS q
FROM (SELECT received AS rc, t AS t_, service,kind, n AS n_, errors AS e_, dur AS d_, q AS q_ FROM red_svc) GROUP BY t,service,kind;
