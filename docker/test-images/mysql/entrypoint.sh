#!/bin/sh
# Called as the official image is: OPTIONS, with MARIADB_ROOT_PASSWORD and MARIADB_DATABASE.
set -e
server() {
  /mariadb/sbin/mariadbd --no-defaults --basedir=/mariadb --lc-messages-dir=/mariadb/share/mysql \
    --datadir=/data/cluster --tmpdir=/data --performance-schema=OFF "$@"
}
mkdir /data/cluster
scripts=/mariadb/share/mysql
{
  echo 'CREATE DATABASE mysql;'
  echo 'USE mysql;'
  echo 'SET @auth_root_socket=NULL;'
  cat $scripts/mysql_system_tables.sql $scripts/mysql_performance_tables.sql $scripts/mysql_system_tables_data.sql
} | server --bootstrap
cat > /data/users.sql <<SQL
DELETE FROM mysql.global_priv WHERE User <> 'mariadb.sys';
FLUSH PRIVILEGES;
CREATE USER 'root'@'%' IDENTIFIED BY '$MARIADB_ROOT_PASSWORD';
GRANT ALL PRIVILEGES ON *.* TO 'root'@'%' WITH GRANT OPTION;
CREATE DATABASE IF NOT EXISTS $MARIADB_DATABASE;
SQL
server --init-file=/data/users.sql --socket=/data/socket --pid-file=/data/pid --skip-name-resolve "$@"
