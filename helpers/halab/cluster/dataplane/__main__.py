from halab.cluster.dataplane.main import main

main()
