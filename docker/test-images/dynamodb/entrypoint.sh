#!/bin/sh
# Called as the official image is: -jar DynamoDBLocal.jar OPTIONS. Maven's jar knows other places of its libraries.
shift 2
exec /java/bin/java -Xmx512m -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Djava.library.path=/dynamodb \
  -cp '/dynamodb/*' com.amazonaws.services.dynamodbv2.local.main.ServerRunner "$@"
