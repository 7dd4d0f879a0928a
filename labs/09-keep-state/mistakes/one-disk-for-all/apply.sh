#!/bin/sh
set -eu
cd "$(dirname "$0")/../../solution"
kubectl apply -f service.yaml -f - <<END
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  name: shared
spec:
  accessModes: [ReadWriteMany]
  resources:
    requests:
      storage: 10Mi
END
{ sed '/volumeClaimTemplates/,$d' statefulset.yaml; printf '      volumes:\n        - name: data\n          persistentVolumeClaim:\n            claimName: shared\n'; } | kubectl apply -f -
kubectl rollout status statefulset/counter --timeout=60s
