from hypothesis import settings, Phase
import tests.monitoring.samples.test_store_model as m
m.TestStoreModel.settings = settings(m.TestStoreModel.settings, max_examples=400, phases=[Phase.generate], database=None)
TestStoreModel = m.TestStoreModel
