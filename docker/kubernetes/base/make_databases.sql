-- Two databases, each with an owner that sees nothing of the other; PostgreSQL's image runs this once, when its volume is empty.
\set password `cat /run/secrets/kerastudy_database_password`
CREATE ROLE kerastudy LOGIN PASSWORD :'password';
CREATE DATABASE kerastudy OWNER kerastudy;
REVOKE ALL ON DATABASE kerastudy FROM PUBLIC;

\set password `cat /run/secrets/mlflow_database_password`
CREATE ROLE mlflow LOGIN PASSWORD :'password';
CREATE DATABASE mlflow OWNER mlflow;
REVOKE ALL ON DATABASE mlflow FROM PUBLIC;
